-- SPDX-License-Identifier: EUPL-1.2
-- The audit log (docs/audit-format.md). Entries are added and, when they are old, erased from the first on; none is ever changed.

CREATE TABLE audit_entries (
    seq BIGINT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, entry TEXT NOT NULL, chain TEXT NOT NULL
);
CREATE INDEX audit_entries_by_tenant ON audit_entries (tenant, seq);

-- Who stands behind a pseudonym, with the key of what is sealed in entries. Whoever is erased has no row any more.
CREATE TABLE audit_people (
    tenant TEXT NOT NULL, id TEXT NOT NULL, lookup TEXT NOT NULL UNIQUE, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX audit_people_by_time ON audit_people (updated_ms);

CREATE TABLE audit_checkpoints (size BIGINT NOT NULL PRIMARY KEY, note TEXT NOT NULL, created_ms BIGINT NOT NULL);

-- One row: where the log is, and what is kept of what was erased.
CREATE TABLE audit_state (
    tenant TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL,
    size BIGINT NOT NULL, bytes BIGINT NOT NULL, frontier TEXT NOT NULL, chain TEXT NOT NULL,
    pruned BIGINT NOT NULL, pruned_frontier TEXT NOT NULL, pruned_chain TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
