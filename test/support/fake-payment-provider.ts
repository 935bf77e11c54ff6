import { expect } from 'chai'
import { type Answer, type Client, clientOf } from './client.ts'

/**
 * A fake: there is no money here. It does what a shop's own server does with a real provider: takes a card that says how the
 * payment will end, and tells the shop with an operator's token, twice if it is not sure that it was heard.
 */
export interface FakePaymentProvider {
  charge(orderId: string, card: 'good' | 'empty'): Promise<Answer>
  /** Tells the same again, as providers do. */
  repeat(orderId: string): Promise<Answer>
}

export function createFakePaymentProvider(url: string, operatorToken: string): FakePaymentProvider {
  const shop: Client = clientOf(url, operatorToken)
  const ended = new Map<string, 'confirmed' | 'failed'>()
  const tell = (orderId: string) => shop.post(`/v1/orders/${orderId}/payments`, { result: ended.get(orderId) })
  return {
    charge(orderId, card) {
      ended.set(orderId, card === 'good' ? 'confirmed' : 'failed')
      return tell(orderId)
    },
    repeat(orderId) {
      expect(ended.has(orderId), 'it was charged before').to.equal(true)
      return tell(orderId)
    },
  }
}
