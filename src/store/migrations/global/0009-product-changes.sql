-- Instances read what has changed since a version. `forget`: the version before which nothing that was kept of products may be used any more.
ALTER TABLE products ADD KEY products_by_version (version, sku);

INSERT INTO catalog_state (name, version) VALUES ('forget', 0)
ON DUPLICATE KEY UPDATE name = VALUES(name);
