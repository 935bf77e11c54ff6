CREATE TABLE IF NOT EXISTS id_blocks (
  name VARCHAR(32) NOT NULL,
  next_id BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO id_blocks (name, next_id) VALUES ('user', 1000000)
ON DUPLICATE KEY UPDATE name = VALUES(name);

CREATE TABLE IF NOT EXISTS catalog_state (
  name VARCHAR(32) NOT NULL,
  version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO catalog_state (name, version) VALUES ('products', 0)
ON DUPLICATE KEY UPDATE name = VALUES(name);

CREATE TABLE IF NOT EXISTS products (
  sku VARCHAR(64) NOT NULL,
  name VARCHAR(200) NOT NULL,
  search_name VARCHAR(200) NOT NULL,
  price BIGINT UNSIGNED NOT NULL,
  category VARCHAR(100) NOT NULL,
  version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (sku),
  KEY products_by_category (category, sku),
  KEY products_by_price (price, sku),
  KEY products_by_category_price (category, price, sku),
  KEY products_by_name (search_name, sku),
  KEY products_by_category_name (category, search_name, sku)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
