-- The evidence store, as `sqlite3 evidence.db .schema` prints it. Times are Unix seconds; the views have them in words.

-- What is known of the log itself: `next`, the number of the next event, and `latest`, the latest time of one.
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Names of sources, categories and people, which reports repeat.
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;

-- A source named a subject at `time`; it came at `at` from `who`. `place` is where the subject stands: the first address
-- of an IPv4 block as a number, of an IPv6 block as 16 bytes, a host as its labels from the last one.
CREATE TABLE report (
    number INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    at INTEGER NOT NULL,
    who INTEGER NOT NULL REFERENCES name,
    source INTEGER NOT NULL REFERENCES name,
    category INTEGER NOT NULL REFERENCES name,
    subject TEXT NOT NULL,
    place ANY NOT NULL,
    weight REAL NOT NULL,
    text TEXT
) STRICT;

-- By the 65,536 reports first that come together: what is written goes into one small part of the index, however many
-- there are, and whoever looks for a place looks into each part.
CREATE INDEX report_place ON report (number >> 16, place);

-- A live change: add, remove, or withdraw of an earlier one. Of one subject in one dataset the highest number counts.
CREATE TABLE change (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    dataset TEXT NOT NULL,
    subject TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('add', 'remove', 'withdraw')),
    a TEXT,
    text TEXT,
    ttl INTEGER,
    expires INTEGER,
    reason TEXT,
    withdraws INTEGER
) STRICT;
CREATE INDEX change_subject ON change (dataset, subject, number);
CREATE INDEX change_withdraws ON change (withdraws) WHERE withdraws IS NOT NULL;

-- Keys of clients that may ask again, and what was said under them.
CREATE TABLE idempotency (
    key BLOB PRIMARY KEY,
    number INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);

-- A generation that was published, the datasets with news in it, the serials of its zones, and what moved.
CREATE TABLE generation (
    number INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    cause TEXT NOT NULL
) STRICT;
CREATE INDEX generation_generation ON generation (generation);
CREATE TABLE generation_dataset (
    number INTEGER NOT NULL REFERENCES generation,
    dataset TEXT NOT NULL,
    entries INTEGER NOT NULL,
    entered INTEGER NOT NULL,
    left INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT;
CREATE INDEX generation_dataset_number ON generation_dataset (number);
CREATE TABLE generation_zone (number INTEGER NOT NULL REFERENCES generation, apex TEXT NOT NULL, serial INTEGER NOT NULL)
    STRICT;
CREATE INDEX generation_zone_number ON generation_zone (number);
CREATE TABLE generation_entry (
    number INTEGER NOT NULL REFERENCES generation,
    dataset TEXT NOT NULL,
    subject TEXT NOT NULL,
    moved TEXT NOT NULL CHECK (moved IN ('entered', 'left', 'changed')),
    why TEXT NOT NULL
) STRICT;
CREATE INDEX generation_entry_number ON generation_entry (number);

-- For people.
CREATE VIEW reports AS
SELECT r.number, strftime('%Y-%m-%dT%H:%M:%SZ', r.time, 'unixepoch') AS time, source.text AS source, r.subject,
    category.text AS category, r.weight, r.text, who.text AS who,
    strftime('%Y-%m-%dT%H:%M:%SZ', r.at, 'unixepoch') AS received
FROM report r
    JOIN name source ON source.id = r.source
    JOIN name category ON category.id = r.category
    JOIN name who ON who.id = r.who;

CREATE VIEW changes AS
SELECT c.number, strftime('%Y-%m-%dT%H:%M:%SZ', c.at, 'unixepoch') AS time, c.who, c.action, c.dataset, c.subject, c.a,
    c.text, c.ttl, strftime('%Y-%m-%dT%H:%M:%SZ', c.expires, 'unixepoch') AS expires, c.reason, c.withdraws,
    (SELECT min(w.number) FROM change w WHERE w.withdraws = c.number AND w.number > c.number) AS withdrawn_by,
    (SELECT max(l.number) FROM change l WHERE l.dataset = c.dataset AND l.subject = c.subject AND l.withdraws IS NULL
        AND c.withdraws IS NULL AND l.number > c.number) AS replaced_by
FROM change c;

CREATE VIEW live_changes AS
SELECT * FROM changes
WHERE action <> 'withdraw' AND withdrawn_by IS NULL AND replaced_by IS NULL
    AND (expires IS NULL OR expires > strftime('%Y-%m-%dT%H:%M:%SZ', 'now'));

CREATE VIEW generations AS
SELECT g.generation, strftime('%Y-%m-%dT%H:%M:%SZ', g.at, 'unixepoch') AS time, g.who, g.cause,
    (SELECT total(entered) FROM generation_dataset d WHERE d.number = g.number) AS entered,
    (SELECT total(left) FROM generation_dataset d WHERE d.number = g.number) AS left,
    (SELECT total(changed) FROM generation_dataset d WHERE d.number = g.number) AS changed
FROM generation g;

INSERT INTO meta VALUES ('next', 1), ('latest', 0);
