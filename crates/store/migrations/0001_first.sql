-- SPDX-License-Identifier: EUPL-1.2
-- The same on SQLite and PostgreSQL: TEXT and BIGINT only, nothing may be NULL, times are milliseconds since 1970.

CREATE TABLE rooms (
    tenant TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- A key's name is what a token's issuer says: it is unique over all tenants.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL
);

CREATE TABLE dispatches (
    tenant TEXT NOT NULL, id TEXT NOT NULL, room TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX dispatches_by_room ON dispatches (tenant, room);

CREATE TABLE sip_trunks (
    tenant TEXT NOT NULL, id TEXT NOT NULL, direction TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE sip_rules (
    tenant TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- What a call may come in by; a trunk or a number that a rule does not name is the empty text.
CREATE TABLE sip_rule_entries (
    tenant TEXT NOT NULL, trunk TEXT NOT NULL, number TEXT NOT NULL, pin TEXT NOT NULL, rule TEXT NOT NULL,
    PRIMARY KEY (tenant, trunk, number, pin),
    FOREIGN KEY (tenant, rule) REFERENCES sip_rules (tenant, id) ON DELETE CASCADE
);
CREATE INDEX sip_rule_entries_by_rule ON sip_rule_entries (tenant, rule);

CREATE TABLE egresses (
    tenant TEXT NOT NULL, id TEXT NOT NULL, room TEXT NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX egresses_by_room ON egresses (tenant, room);
CREATE INDEX egresses_by_state ON egresses (tenant, state, updated_ms);

-- A stream key is found by its hash; the key itself is sealed in the record.
CREATE TABLE ingresses (
    tenant TEXT NOT NULL, id TEXT NOT NULL, room TEXT NOT NULL, key_hash TEXT NOT NULL UNIQUE, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX ingresses_by_room ON ingresses (tenant, room);

-- One row for each event and target. A lane is what must stay in order: one room's events for one target.
CREATE TABLE outbox (
    event_id TEXT NOT NULL, target TEXT NOT NULL, tenant TEXT NOT NULL, lane TEXT NOT NULL, event TEXT NOT NULL,
    body TEXT NOT NULL, seq BIGINT NOT NULL, created_ms BIGINT NOT NULL, attempts BIGINT NOT NULL,
    next_ms BIGINT NOT NULL, dead_ms BIGINT NOT NULL, problem TEXT NOT NULL,
    PRIMARY KEY (event_id, target)
);
CREATE INDEX outbox_by_lane ON outbox (target, lane, dead_ms, seq);
CREATE INDEX outbox_by_seq ON outbox (seq);

CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, room TEXT NOT NULL, event TEXT NOT NULL, body TEXT NOT NULL,
    seq BIGINT NOT NULL, created_ms BIGINT NOT NULL
);
CREATE INDEX events_by_time ON events (tenant, seq);
CREATE INDEX events_by_seq ON events (seq);
