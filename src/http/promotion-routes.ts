import type { Promotions } from '../catalog/promotions.ts'
import { FIXED } from '../model/limits.ts'
import { json, type Route, route } from './route.ts'
import type { Schemas } from './schemas.ts'

/** Rule sets, for operators: `Authorization: Bearer op_…` (made with `cartload operator add`). */
export function promotionRoutes(
  { promotions, rulesVersion }: { promotions: Promotions; rulesVersion(): number },
  schemas: Schemas,
): Route[] {
  const common = { tag: 'Promotions', session: 'operator', query: schemas.noQuery } as const
  return [
    route({
      ...common,
      method: 'get',
      path: '/v1/rule-sets',
      name: 'listRuleSets',
      summary: 'The newest versions, and when they were or will be in force',
      answer: { status: 200, description: 'Versions, newest first', schema: schemas.ruleSets },
      problems: [],
      async handle() {
        return json(200, { data: await promotions.list(FIXED.ruleSetsListed), inForce: rulesVersion() })
      },
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/rule-sets/check',
      name: 'checkRuleSet',
      summary: 'Names every mistake of a rule set; stores nothing',
      body: schemas.ruleSet,
      bodyBytesMax: FIXED.ruleSetBytesMax,
      answer: { status: 200, description: 'The mistakes', schema: schemas.ruleSetCheck },
      problems: [],
      async handle({ body }) {
        const { mistakes, warnings } = await promotions.check(body.ruleSet)
        return json(200, { valid: mistakes.length === 0, mistakes, warnings })
      },
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/rule-sets',
      name: 'putRuleSet',
      summary: 'Stores a rule set as a new version, not yet in force',
      body: schemas.ruleSet,
      bodyBytesMax: FIXED.ruleSetBytesMax,
      answer: { status: 201, description: 'The version', schema: schemas.ruleSetPut },
      problems: ['rules_invalid', 'rules_unconfirmed'],
      async handle({ body }, call) {
        return json(201, {
          version: await promotions.put(body.ruleSet, body.note || `by ${call.operator}`, body.confirm),
        })
      },
    }),
    route({
      ...common,
      method: 'post',
      path: '/v1/rule-sets/activations',
      name: 'activateRuleSet',
      summary: 'Puts a version in force, now or at a time to come',
      body: schemas.activate,
      answer: { status: 201, description: 'From when on', schema: schemas.activation },
      problems: ['rules_not_found', 'rules_invalid', 'rules_unconfirmed'],
      async handle({ body }) {
        const at = body.at === undefined ? undefined : new Date(body.at)
        return json(201, await promotions.activate(body.version, at, body.confirm))
      },
    }),
  ]
}
