import { pricingCase } from './cases.ts'

/** Prints a rule set of 30 competing promotions for the seeded shop: `node …/sample-rules.ts > rules.json`. */
console.log(JSON.stringify(pricingCase(1, 100, 30).ruleSet, undefined, 2))
