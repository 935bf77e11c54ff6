-- Prices finer than a minor unit, as text: price, list price and floor price, such as "0.5678,,". The columns of numbers keep the whole minor
-- units, which is what a release that does not know this column reads and writes: a text that does not fit them is old.
ALTER TABLE products ADD COLUMN fine_prices VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NULL;
