-- Codes of promotions that have many, by the form in which codes are compared (lower case).
CREATE TABLE IF NOT EXISTS promotion_codes (
  code VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  written VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  pool VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (code),
  KEY promotion_codes_pool (pool, code)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
