-- SPDX-License-Identifier: EUPL-1.2
-- What was erased of recordings: it stays when the row in egresses is gone.

CREATE TABLE erasures (
    tenant TEXT NOT NULL, id TEXT NOT NULL, room TEXT NOT NULL, record TEXT NOT NULL,
    created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
