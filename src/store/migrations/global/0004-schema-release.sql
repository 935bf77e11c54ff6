-- The oldest release that can work with this schema. A later migration that older code cannot live with raises it.
CREATE TABLE IF NOT EXISTS schema_release (
  name VARCHAR(32) NOT NULL,
  oldest_release VARCHAR(32) NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO schema_release (name, oldest_release) VALUES ('schema', '0.1.0')
ON DUPLICATE KEY UPDATE name = VALUES(name);
