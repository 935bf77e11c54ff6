/** The id of a sale: short, readable, safe in an address. */
export const SALE_ID = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/
