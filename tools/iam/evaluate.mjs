// Evaluates requests against IAM policies. Run it in the folder that holds node_modules; it reads JSON on stdin:
//
//   {"policies": {NAME: DOCUMENT}, "requests": [{"principal", "action", "resource", "account", "context",
//    "identity": [NAME], "endpoint": NAME or null, "ofResource": NAME or null}]}
//
// and writes for each request, in their order, {"allowed", "reason", "statements"}: what denies it, and which statements
// of the identity's policies allow it, as "NAME 1" for the first of a policy.

import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

const { getDenialReasons, runSimulation } = createRequire(`${process.cwd()}/`)('@cloud-copilot/iam-simulate')
const GATES = { identity: "the role's policies", vpce: "the VPC endpoint's policy", resource: "the resource's policy" }
const { policies, requests } = JSON.parse(await text(process.stdin))

const named = (name) => ({ name, policy: policies[name] })

const evaluate = async (request) => {
  const outcome = await runSimulation(
    {
      request: {
        principal: request.principal,
        action: request.action,
        resource: { resource: request.resource, accountId: request.account },
        contextVariables: request.context
      },
      identityPolicies: request.identity.map(named),
      vpcEndpointPolicies: request.endpoint ? [named(request.endpoint)] : undefined,
      resourcePolicy: request.ofResource ? policies[request.ofResource] : undefined,
      serviceControlPolicies: [],
      resourceControlPolicies: []
    },
    {}
  )
  if (outcome.resultType !== 'single') {
    return { allowed: false, reason: `cannot be evaluated: ${JSON.stringify(outcome.errors ?? outcome)}`, statements: [] }
  }
  const { analysis, ignoredContextKeys } = outcome.result
  if (outcome.overallResult !== 'Allowed') {
    const reasons = getDenialReasons(analysis).map(reason)
    const ignored = ignoredContextKeys.length ? ` (no condition keys of this action: ${ignoredContextKeys})` : ''
    return { allowed: false, reason: [...new Set(reasons)].join('; ') + ignored, statements: [] }
  }
  const statements = (analysis.identityAnalysis?.allowStatements ?? []).map(
    ({ policyId, statement }) => `${policyId} ${statement.index()}`
  )
  return { allowed: true, reason: '', statements }
}

const reason = ({ policyType, denialType, policyIdentifier, statementIndex }) => {
  const gate = GATES[policyType] ?? policyType
  return denialType === 'Explicit' ? `${gate} deny it (${policyIdentifier} ${statementIndex})` : `${gate} do not allow it`
}

const verdicts = []
for (const request of requests) verdicts.push(await evaluate(request))
process.stdout.write(JSON.stringify(verdicts))
