-- What is made in any store that does not have it yet, so that one of an earlier program needs no other version.

-- Somebody asked, from the address `who`, that a subject be listed no more.
CREATE TABLE IF NOT EXISTS request (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    subject TEXT NOT NULL,
    contact TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE VIEW IF NOT EXISTS requests AS
SELECT number, strftime('%Y-%m-%dT%H:%M:%SZ', at, 'unixepoch') AS time, subject, contact, text, who FROM request;
