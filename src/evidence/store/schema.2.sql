-- What version 2 added to version 1.

-- How many listings a dataset had before; unknown, and 0, of generations of before.
ALTER TABLE generation_dataset ADD COLUMN before INTEGER NOT NULL DEFAULT 0;

-- Somebody asked, from the address `who`, that a subject be listed no more.
CREATE TABLE request (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    subject TEXT NOT NULL,
    contact TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE VIEW requests AS
SELECT number, strftime('%Y-%m-%dT%H:%M:%SZ', at, 'unixepoch') AS time, subject, contact, text, who FROM request;
