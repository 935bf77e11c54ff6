ALTER TABLE carts
  ADD COLUMN orders_placed INT UNSIGNED NOT NULL DEFAULT 0,
  ADD COLUMN promotion_uses MEDIUMTEXT NULL;

ALTER TABLE cart_lines ADD COLUMN left_units BIGINT UNSIGNED NULL;

CREATE TABLE IF NOT EXISTS orders (
  user_id BIGINT UNSIGNED NOT NULL,
  order_id VARCHAR(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  slot SMALLINT UNSIGNED NOT NULL,
  state VARCHAR(16) NOT NULL,
  idempotency_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
  fingerprint VARCHAR(64) NOT NULL,
  cart_version BIGINT UNSIGNED NULL,
  total BIGINT UNSIGNED NOT NULL,
  document MEDIUMTEXT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  changed_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NULL,
  settled TINYINT UNSIGNED NOT NULL,
  PRIMARY KEY (user_id, order_id),
  UNIQUE KEY orders_key (user_id, idempotency_key),
  KEY orders_newest (user_id, created_at, order_id),
  KEY orders_open (state, expires_at),
  KEY orders_unsettled (settled, changed_at),
  KEY orders_slot (slot)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
PARTITION BY KEY (user_id) PARTITIONS 8;

CREATE TABLE IF NOT EXISTS refunds (
  user_id BIGINT UNSIGNED NOT NULL,
  order_id VARCHAR(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  refund_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  slot SMALLINT UNSIGNED NOT NULL,
  state VARCHAR(16) NOT NULL,
  document MEDIUMTEXT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (user_id, order_id, refund_id),
  KEY refunds_open (state, created_at),
  KEY refunds_slot (slot)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
PARTITION BY KEY (user_id) PARTITIONS 8;

CREATE TABLE IF NOT EXISTS leases (
  name VARCHAR(32) NOT NULL,
  holder VARCHAR(64) NOT NULL,
  held_until DATETIME(3) NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
