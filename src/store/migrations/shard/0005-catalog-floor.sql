CREATE TABLE IF NOT EXISTS catalog_floor (
  shard VARCHAR(32) NOT NULL,
  version BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (shard)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO catalog_floor (shard, version) SELECT shard, 0 FROM cache_mode
ON DUPLICATE KEY UPDATE version = catalog_floor.version;
