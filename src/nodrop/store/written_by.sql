-- Format 2. Which nodrop has opened the file last: an older one that finds it can say so.
CREATE TABLE written_by (version TEXT NOT NULL);
INSERT INTO written_by VALUES ('');
