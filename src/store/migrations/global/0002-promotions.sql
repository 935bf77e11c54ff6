CREATE TABLE IF NOT EXISTS rule_sets (
  version BIGINT UNSIGNED NOT NULL,
  document MEDIUMTEXT NOT NULL,
  note VARCHAR(200) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (version)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS rule_activations (
  number BIGINT UNSIGNED NOT NULL,
  version BIGINT UNSIGNED NOT NULL,
  active_from DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (number),
  KEY rule_activations_by_time (active_from, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS operators (
  token_hash CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(100) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (token_hash),
  UNIQUE KEY operators_name (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS shop_keys (
  name VARCHAR(32) NOT NULL,
  value VARCHAR(128) NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO catalog_state (name, version) VALUES ('rules', 0), ('activations', 0)
ON DUPLICATE KEY UPDATE name = VALUES(name);

ALTER TABLE products
  ADD COLUMN tags VARCHAR(500) NOT NULL DEFAULT '',
  ADD COLUMN list_price BIGINT UNSIGNED NULL,
  ADD COLUMN floor_price BIGINT UNSIGNED NULL,
  ADD COLUMN tax_rate SMALLINT UNSIGNED NOT NULL DEFAULT 0;
