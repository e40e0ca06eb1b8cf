-- Until here what a change said that it had been was believed. Now it is proved, when it is appended, or ignored; and
-- what was believed bore no proof.
UPDATE change SET was = NULL WHERE was IS NOT NULL;
DELETE FROM rewritten;
UPDATE document SET rewritten = 0 WHERE rewritten <> 0;
