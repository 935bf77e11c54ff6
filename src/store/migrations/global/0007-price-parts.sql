-- Prices finer than a minor unit: the whole minor units stay in their columns, these are millionths of one.
ALTER TABLE products
  ADD COLUMN price_parts MEDIUMINT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN list_price_parts MEDIUMINT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN floor_price_parts MEDIUMINT UNSIGNED NOT NULL DEFAULT 0;
