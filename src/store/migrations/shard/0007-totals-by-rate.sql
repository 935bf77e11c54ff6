-- Totals hold the tax of each rate.
ALTER TABLE carts MODIFY totals VARCHAR(4000) NOT NULL DEFAULT '';
