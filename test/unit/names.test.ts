import { expect } from 'chai'
import { INSTANT_EXAMPLE, readInstant } from '../../src/lib/instant.ts'
import { CODE_FORM, codeForm } from '../../src/model/code.ts'
import { canonicalAddress, isAddress } from '../../src/model/email.ts'
import { SKU_FORM } from '../../src/model/product.ts'

describe('an e-mail address', () => {
  const RIGHT = [
    'plain@example.com',
    "o'neill@example.com",
    "siobhan.o'neill+shop@example.co.uk",
    'UPPER@EXAMPLE.COM',
    ' outer.spaces@example.com ',
    'a@b.example',
    'café@example.com',
    'cafe\u0301@example.com',
    'user@bücher.example',
    '用户@例子.公司',
    "all!#$%&'*+/=?^_`{|}~-marks@example.com",
    'digits123@456.example',
  ]
  for (const text of RIGHT) it(`can be ${JSON.stringify(text)}`, () => expect(isAddress(text)).to.equal(true))

  const WRONG = [
    '',
    'nameless',
    '@example.com',
    'nameless@',
    'nameless@localhost',
    'two@at@example.com',
    'nul\u0000@example.com',
    'tab\t@example.com',
    'inner space@example.com',
    'zero\u200bwidth@example.com',
    'soft\u00adhyphen@example.com',
    'right\u202eto-left@example.com',
    'full＠example.com',
    'small﹫example.com',
    'full＠width@example.com',
    'lone\ud800surrogate@example.com',
    'delete\u007f@example.com',
    'private\ue000@example.com',
    'dot.@example.com',
    '.dot@example.com',
    'two..dots@example.com',
    'a@-example.com',
    'a@example-.com',
    'a@example..com',
    'a@.com',
    'a@exa_mple.com',
    '"quoted name"@example.com',
    'angle<b>@example.com',
    'a,b@example.com',
    `${'a'.repeat(250)}@example.com`,
    `a@${'b'.repeat(64)}.com`,
  ]
  for (const text of WRONG)
    it(`cannot be ${JSON.stringify(text).slice(0, 60)}`, () => expect(isAddress(text)).to.equal(false))

  it('is the same in both forms of Unicode, in either case, and with spaces around it', () => {
    expect(canonicalAddress(' Cafe\u0301@Example.COM ')).to.equal(canonicalAddress('café@example.com'))
  })
})

describe('codes', () => {
  it('are the same in either case and with spaces around them', () => {
    for (const text of ['SAVE10', 'save10', ' Save10 ', '\tsave10\n'])
      expect(codeForm(text), JSON.stringify(text)).to.equal('save10')
  })
  for (const [what, form] of [
    ['a product', SKU_FORM],
    ['a promotion', CODE_FORM],
  ] as const)
    it(`of ${what} are nothing that an address parser takes out of a path`, () => {
      for (const text of ['.', '..']) expect(form.test(text), text).to.equal(false)
      for (const text of ['...', '.a', 'a.', '..a', 'a..', '%2E%2E', 'A.B'])
        expect(form.test(text), text).to.equal(true)
    })
})

describe('a time', () => {
  for (const [text, iso] of [
    ['2027-01-01T00:00:00Z', '2027-01-01T00:00:00.000Z'],
    ['2027-01-01 00:00:00Z', '2027-01-01T00:00:00.000Z'],
    ['2027-06-07T12:30+02:00', '2027-06-07T10:30:00.000Z'],
    ['2027-06-07T12:30:15.250-0530', '2027-06-07T18:00:15.250Z'],
    ['2028-02-29T00:00Z', '2028-02-29T00:00:00.000Z'],
  ] as const)
    it(`can be ${text}`, () => expect(readInstant(text)?.toISOString()).to.equal(iso))
  for (const text of [
    '',
    '06/07/2030',
    '7.6.2030',
    '2030-06-07',
    '2030-06-07T12:00',
    '2030-06-07T12:00:00',
    '2030-02-30T00:00:00Z',
    '2029-02-29T00:00:00Z',
    '2030-13-01T00:00:00Z',
    '2030-06-07T25:00:00Z',
    'tomorrow',
    '1781518400000',
    'June 7 2030',
  ])
    it(`cannot be '${text}': neither zone nor order of numbers is guessed`, () =>
      expect(readInstant(text)).to.equal(undefined))
  it('has an example that is one', () => expect(readInstant(INSTANT_EXAMPLE)).to.not.equal(undefined))
})
