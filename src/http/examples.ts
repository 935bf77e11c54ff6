import answers from './example-answers.json' with { type: 'json' }

/**
 * One request by operation, as /docs shows it. test/http/examples.test.ts sends each of them and compares the answer with the one in
 * example-answers.json; `UPDATE_EXAMPLES=1` records them again.
 */
export interface Example {
  readonly params?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly body?: object
}

/** What stands for values that differ in each shop. */
export const PLACEHOLDERS = {
  email: 'ada@example.com',
  order: '1001-0123456789abcdef01234567',
  quote: 'eyJ2IjoxfQ.signature',
  saleId: 'spring-2027',
} as const

const ruleSet = {
  currency: 'GBP',
  promotions: [{ id: 'welcome', name: 'Welcome', kind: 'percent_off', percent: 10, code: 'WELCOME10' }],
}
const line = { sku: 'P000001', quantity: 2 }

export const EXAMPLES: Readonly<Record<string, Example>> = {
  viewCart: { query: { limit: '20' } },
  addLines: { body: line },
  viewLine: { params: { line: 'P000001' } },
  setLine: { params: { line: 'P000001' }, body: { quantity: 3 } },
  setLines: {
    body: {
      lines: [
        { sku: 'P000001', quantity: 1 },
        { sku: 'P000002', quantity: 4 },
      ],
    },
  },
  removeLine: { params: { line: 'P000002' } },
  clearCart: {},
  addCode: { body: { code: 'WELCOME10' } },
  removeCode: { params: { code: 'WELCOME10' } },
  explainCart: {},
  undoMerge: {},
  makeQuote: { body: { lines: [line], codes: ['WELCOME10'] } },
  checkQuote: { body: { quote: PLACEHOLDERS.quote, lines: [line], codes: ['WELCOME10'] } },
  placeOrder: { body: { cartVersion: 1 } },
  listOrders: { query: { limit: '20' } },
  viewOrder: { params: { id: PLACEHOLDERS.order } },
  cancelOrder: { params: { id: PLACEHOLDERS.order } },
  payOrder: { params: { id: PLACEHOLDERS.order }, body: { result: 'confirmed' } },
  refundOrder: { params: { id: PLACEHOLDERS.order }, body: { lines: [{ sku: 'P000001', quantity: 1 }] } },
  viewStock: { params: { sku: 'P000001' } },
  viewSale: { params: { id: PLACEHOLDERS.saleId } },
  enterQueue: { params: { id: PLACEHOLDERS.saleId }, body: {} },
  viewQueue: { params: { id: PLACEHOLDERS.saleId } },
  leaveQueue: { params: { id: PLACEHOLDERS.saleId } },
  listProducts: { query: { limit: '2', q: 'glass wall' } },
  viewProduct: { params: { sku: 'P000001' } },
  register: { body: { email: PLACEHOLDERS.email, password: 'correct horse battery', name: 'Ada' } },
  logIn: { body: { email: PLACEHOLDERS.email, password: 'correct horse battery' } },
  logOut: {},
  logOutEverywhere: {},
  whoAmI: {},
  changePassword: { body: { current: 'correct horse battery', next: 'staple battery horse' } },
  listRuleSets: {},
  checkRuleSet: { body: { ruleSet } },
  putRuleSet: { body: { ruleSet, note: 'Ten percent for new customers' } },
  activateRuleSet: { body: { version: 1 } },
}

interface Parameter {
  readonly in: string
  readonly name: string
  example?: unknown
}
interface Content {
  readonly content?: Readonly<Record<string, { example?: unknown }>>
}
interface Operation {
  readonly operationId: string
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: Content
  readonly responses: Readonly<Record<string, Content>>
}

/** Puts the examples into an OpenAPI document: of parameters, of bodies, and of the first answer that succeeds. */
export function addExamples(document: { readonly paths?: unknown }): void {
  for (const methods of Object.values(document.paths as Record<string, Record<string, Operation>>)) {
    for (const { operationId, parameters = [], requestBody, responses } of Object.values(methods)) {
      const { params = {}, query = {}, body } = EXAMPLES[operationId] ?? {}
      for (const parameter of parameters) {
        const example = { path: params, query }[parameter.in]?.[parameter.name]
        if (example !== undefined) parameter.example = /^\d{1,9}$/.test(example) ? Number(example) : example
      }
      const asked = requestBody?.content?.['application/json']
      if (asked) asked.example = body
      const answered = Object.entries(responses).find(([status]) => status.startsWith('2'))?.[1].content?.[
        'application/json'
      ]
      if (answered) answered.example = (answers as Readonly<Record<string, unknown>>)[operationId]
    }
  }
}
