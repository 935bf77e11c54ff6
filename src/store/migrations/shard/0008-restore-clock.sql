-- A number that only grows, about once a second, and is copied to the cache Redis: a shard behind its copy was restored.
CREATE TABLE IF NOT EXISTS restore_clock (
  name VARCHAR(32) NOT NULL,
  ticks BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO restore_clock (name, ticks) VALUES ('ticks', 0)
ON DUPLICATE KEY UPDATE name = VALUES(name);
