-- What a person has seen: a change that was left out calls somebody once, and not for ever.

-- When somebody acknowledged that the change is left out. It stays where the change is tried again and left out again.
ALTER TABLE change ADD COLUMN quarantine_seen INTEGER;

-- What others deleted calls somebody too where nothing of it was unsent. What was deleted before is no news.
UPDATE trash SET looked_at = deleted_at
 WHERE by_others = 1 AND looked_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM unsent u
                    WHERE u.id BETWEEN trash.document << 40 AND ((trash.document + 1) << 40) - 1);
