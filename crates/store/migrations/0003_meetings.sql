-- SPDX-License-Identifier: EUPL-1.2
-- Meetings that people made a room for: who conducts them and by which rules. They outlive their room.

CREATE TABLE meetings (
    tenant TEXT NOT NULL, id TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
