import { verify } from '@node-rs/argon2'
import { RedisStore } from 'connect-redis'
import express, { type RequestHandler } from 'express'
import session from 'express-session'
import knex, { type Knex } from 'knex'
import { createClient } from 'redis'

/**
 * What a capable team writes in a week: express, express-session in Redis, express.json, knex over a mysql2 pool, one database, totals
 * calculated for each request. Written fairly: indexed tables, one join for a cart, no query in a loop, short transactions, argon2 off the
 * event loop, nothing logged. Answers have the shape of cartload's, so that the same bytes travel.
 */
declare module 'express-session' {
  interface SessionData {
    userId: number
  }
}

const redis = createClient({ url: process.env['SESSIONS'] ?? '' })
await redis.connect()
const database = knex({ client: 'mysql2', connection: process.env['DATABASE'] ?? '', pool: { min: 2, max: 10 } })
const app = express()
app.set('trust proxy', 'loopback')
app.disable('x-powered-by')
app.use(express.json())
app.use(
  session({
    store: new RedisStore({ client: redis, prefix: 'sess:' }),
    secret: process.env['SECRET'] ?? '',
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 14 * 86_400_000, sameSite: 'lax' },
  }),
)

const loggedIn: RequestHandler = (request, response, next) => {
  if (request.session.userId === undefined) response.status(401).json({ error: 'log in first' })
  else next()
}

app.post('/v1/sessions', async (request, response) => {
  const { email, password } = request.body as { email: string; password: string }
  const user = await database('users').where({ email }).first()
  if (!user || !(await verify(user.password_hash, password))) {
    response.status(401).json({ error: 'wrong e-mail address or password' })
    return
  }
  await new Promise<void>((resolve, reject) => {
    request.session.regenerate(error => (error ? reject(error) : resolve()))
  })
  request.session.userId = user.id
  response.status(201).json({ token: request.sessionID, userId: String(user.id), merged: null })
})

app.get('/v1/cart', loggedIn, async (request, response) => {
  const offset = Number(request.query['offset'] ?? 0)
  response.json(await cartOf(database, request.session.userId ?? 0, offset, 20))
})

app.post('/v1/cart/lines', loggedIn, async (request, response) => {
  const { sku, quantity } = request.body as { sku: string; quantity: number }
  if (typeof sku !== 'string' || !Number.isInteger(quantity) || quantity < 1) {
    response.status(400).json({ error: 'sku and quantity' })
    return
  }
  const userId = request.session.userId ?? 0
  const cart = await database.transaction(async tx => {
    await tx('carts').where({ user_id: userId }).forUpdate().first()
    const product = await tx('products').where({ sku }).first()
    if (!product) return undefined
    await tx('cart_items')
      .insert({ user_id: userId, product_id: product.id, quantity })
      .onConflict(['user_id', 'product_id'])
      .merge({ quantity: tx.raw('quantity + ?', [quantity]) })
    await tx('carts').where({ user_id: userId }).increment('version', 1)
    return cartOf(tx, userId, 0, 20)
  })
  if (cart) response.json(cart)
  else response.status(422).json({ error: `no product ${sku}` })
})

app.get('/v1/products', async (request, response) => {
  const [limit, offset] = [Math.min(100, Number(request.query['limit'] ?? 20)), Number(request.query['offset'] ?? 0)]
  const rows = await database('products')
    .select('sku', 'name', 'price', 'category')
    .orderBy('sku')
    .limit(limit + 1)
    .offset(offset)
  const next = rows.length > limit ? String(offset + limit) : null
  response.json({ data: rows.slice(0, limit), currency: 'GBP', page: { limit, next } })
})

app.get('/v1/products/:sku', async (request, response) => {
  const product = await database('products').select('sku', 'name', 'price', 'category').where(request.params).first()
  if (product) response.json({ ...product, currency: 'GBP' })
  else response.status(404).json({ error: 'no such product' })
})

interface Item {
  sku: string
  name: string
  price: number
  quantity: number
}

async function cartOf(db: Knex, userId: number, offset: number, limit: number): Promise<object> {
  const cart = await db('carts').where({ user_id: userId }).first()
  const items: Item[] = await db('cart_items')
    .join('products', 'products.id', 'cart_items.product_id')
    .where('cart_items.user_id', userId)
    .orderBy('cart_items.id')
    .select('products.sku', 'products.name', 'products.price', 'cart_items.quantity')
  const subtotal = items.reduce((sum, item) => sum + item.price * item.quantity, 0)
  const units = items.reduce((sum, item) => sum + item.quantity, 0)
  const lines = items.slice(offset, offset + limit).map(({ sku, name, price, quantity }) => ({
    sku,
    name,
    quantity,
    selected: true,
    note: '',
    unitPrice: price,
    subtotal: price * quantity,
    discount: 0,
    total: price * quantity,
    available: true,
  }))
  const end = offset + limit
  return {
    version: cart?.version ?? 0,
    versions: { rules: 0, catalog: 1 },
    currency: 'GBP',
    totals: {
      subtotal,
      itemDiscounts: 0,
      orderDiscounts: 0,
      shipping: 0,
      shippingDiscount: 0,
      tax: 0,
      total: subtotal,
    },
    promotions: [],
    gifts: [],
    codes: [],
    hints: [],
    counts: { lines: items.length, units },
    lines,
    page: { limit, next: end < items.length ? String(end) : null },
    stale: null,
  }
}

const server = app.listen(Number(process.env['PORT']), '127.0.0.1', () => process.send?.('ready'))
server.keepAliveTimeout = 75_000
