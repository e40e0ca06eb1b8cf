-- Until here what a pulled change said that it had been was believed. Now it is proved or ignored. What was written
-- again here is known: the change that it was is here, too.
UPDATE change SET was = NULL
 WHERE was IS NOT NULL AND replaced_by IS NULL AND local = 0
   AND NOT EXISTS (SELECT 1 FROM change AS original
                    WHERE original.replaced_by = change.hash AND original.hash = change.was
                      AND original.id >> 40 = change.id >> 40);
