-- The slices beside an action's own that reacted to it in its change, each with its version: a JSON object, or NULL.
ALTER TABLE change ADD COLUMN also TEXT;
