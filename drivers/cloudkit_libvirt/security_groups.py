"""Security groups. The project's ``default`` is there without a record until somebody changes it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from cloudkit._group_rules import rule_of, with_rule, without_rule
from cloudkit.driver import Query
from cloudkit.errors import AlreadyExists, InUse
from cloudkit.types import RuleSpec, SecurityGroup, SecurityGroupRule, SecurityGroupSpec
from cloudkit_libvirt.bodies import Phase, PortBody, common_of, now_text
from cloudkit_libvirt.collections_base import RecordCollection
from cloudkit_libvirt.default_groups import DEFAULT, all_out, default_group_id, groups_by_id
from cloudkit_libvirt.records import Record, View, not_found
from cloudkit_libvirt.routing_bodies import SecurityGroupBody
from cloudkit_libvirt.undo import undoing


class SecurityGroups(RecordCollection[SecurityGroupBody, SecurityGroup]):
    """Stateful filters."""

    body_type = SecurityGroupBody

    def list(self, query: Query) -> Iterator[SecurityGroup]:
        """All that the project sees."""
        records = groups_by_id(self._context.records.view(), self._context.cloud_id, (self._project_id,)).values()
        return (self.value(record) for record in records if query.all_projects or self._sees(record.body))

    def get(self, id: str) -> SecurityGroup:
        """One by its id."""
        return self.value(self._group(self._context.records.view(), id))

    def create(self, spec: SecurityGroupSpec) -> SecurityGroup:
        """Make one that lets everything out."""
        if spec.name == DEFAULT:
            raise AlreadyExists(
                "the project has its group 'default' already", driver="libvirt", resource=self._default_id
            )
        body = SecurityGroupBody(**common_of(spec, self._project_id), rules=all_out(uuid.uuid4()))
        # Nothing follows the record, so that it is whole at once.
        id = str(uuid.uuid4())
        with undoing(lambda: self._context.records.remove(SecurityGroupBody, id)):
            return self.value(self._context.records.create(id, replace(body, phase=Phase.READY)))

    def delete(self, id: str) -> None:
        """Delete one; raises InUse while a port is in it."""
        if id == self._default_id:
            raise InUse("the group 'default' cannot be deleted", driver="libvirt", resource=id)

        def refuse_used(view: View) -> None:
            for port in view.all(PortBody):
                if id in (port.body.group_ids or ()):
                    raise InUse(f"the port {port.id} is in the security group", driver="libvirt", resource=id)

        self._begin_delete(id, refuse_used)
        self._context.records.remove(SecurityGroupBody, id)
        self._context.reconcile()

    def add_rule(self, id: str, spec: RuleSpec) -> SecurityGroupRule:
        """Allow something."""
        if spec.remote_group_id is not None:
            self._group(self._context.records.view(), spec.remote_group_id)
        rule = rule_of(spec, str(uuid.uuid4()), "libvirt")

        def add(body: SecurityGroupBody) -> SecurityGroupBody:
            return replace(body, rules=with_rule(body.rules, rule, body.name, id, "libvirt"), updated_at=now_text())

        self._change(id, add)
        return rule

    def remove_rule(self, id: str, rule_id: str) -> None:
        """Allow something no longer."""

        def remove(body: SecurityGroupBody) -> SecurityGroupBody:
            return replace(body, rules=without_rule(body.rules, rule_id, body.name, "libvirt"), updated_at=now_text())

        self._change(id, remove)

    # -- parts

    @property
    def _default_id(self) -> str:
        return default_group_id(self._context.cloud_id, self._project_id)

    def _group(self, view: View, id: str) -> Record[SecurityGroupBody]:
        record = groups_by_id(view, self._context.cloud_id, (self._project_id,)).get(id)
        if record is None or not self._sees(record.body):
            raise not_found(SecurityGroupBody, id)
        return record

    def _change(self, id: str, alter: Callable[[SecurityGroupBody], SecurityGroupBody]) -> None:
        records = self._context.records
        group = self._group(records.view(), id)
        if group.generation == 0:
            # Refused before it is written, where it is to be refused.
            alter(group.body)
            # Another client may begin to change it in the same moment.
            with suppress(AlreadyExists):
                records.create(id, group.body)
        records.change(SecurityGroupBody, id, alter)
        self._context.reconcile()

    def value(self, record: Record[SecurityGroupBody]) -> SecurityGroup:
        """The value of a record."""
        return SecurityGroup(**self._fields(record), rules=record.body.rules)
