// An OpenID Connect provider for the tests: npm's oidc-provider, certified for its protocol, under
// the paths and with the habits of Keycloak, as EGI Check-in has them:
//  - endpoints below /auth/realms/REALM/protocol/openid-connect/
//  - access tokens are signed JWTs (`azp`, `typ: Bearer`) that introspection, userinfo and
//    revocation accept; oidc-provider keeps opaque ones, so they are translated on the way
//  - token exchange (RFC 8693) of an access token for a refresh token, UMA tickets
// The tests steer it at /control: see tests/hub/provider.py.
// The signing key comes from the tests: exporting one that was just made now and then hangs Node 20.
//   node provider.mjs PORT REALM KEY, a file with a private key as JWK
import { createServer } from 'node:http';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SignJWT, importJWK, jwtVerify, createLocalJWKSet } from 'jose';
import { Provider, errors } from 'oidc-provider';
import MemoryAdapter from './node_modules/oidc-provider/lib/adapters/memory_adapter.js';

const [port, realm, keyFile] = [Number(process.argv[2]), ...process.argv.slice(3)];
const PREFIX = `/auth/realms/${realm}`;
const ISSUER = `http://127.0.0.1:${port}${PREFIX}`;
const CONNECT = '/protocol/openid-connect';
const kept = new Map(); // the usual one forgets the oldest of a thousand things
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const UMA = 'urn:ietf:params:oauth:grant-type:uma-ticket';
const SCOPES = {
  profile: ['preferred_username', 'name', 'voperson_id'],
  email: ['email', 'email_verified'],
  eduperson_entitlement: ['eduperson_entitlement'],
  eduperson_scoped_affiliation: ['eduperson_scoped_affiliation'],
  entitlements: ['entitlements'],
};

const clients = new Map();
const users = new Map();
const tickets = new Map(); // audience → claims of the UMA ticket for it
const documents = new Map(); // path → { type, body, token }: what a bearer of the ticket may read
const opaque = new Map(); // jti of a JWT → the opaque token that it stands for
const requests = [];
let settings = {
  mode: 'up', // up | broken (503) | gone (the connection breaks) | silent (no answer)
  silent_paths: [], // paths that alone are broken
  rotate_refresh: false, // each refresh token serves once
  access_token_seconds: 3600,
  audience: undefined, // of access tokens; Check-in gives none
  // rfc (8693, 2.2.1) | both (access_token and refresh_token) | alone (refresh_token) | access |
  // somebody (an ID token of another subject) | odd (an ID token that is none) | refused
  exchange: 'rfc',
  introspection: {}, // what introspection adds to, or overrides in, its answers
};
let keys = [JSON.parse(readFileSync(keyFile))];
let provider;

async function sign(claims) {
  const key = keys[0];
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: key.kid, typ: 'JWT' })
    .sign(await importJWK(key, 'RS256'));
}

const publicKeys = () => createLocalJWKSet({ keys: keys.map(({ kid, kty, n, e }) => ({ kid, kty, n, e })) });

// The opaque token that a JWT of ours stands for; undefined for a forged or foreign one.
async function translated(token) {
  if (!token || token.split('.').length !== 3) return token;
  try {
    const { payload } = await jwtVerify(token, publicKeys(), { issuer: ISSUER });
    return opaque.get(payload.jti);
  } catch {
    return undefined;
  }
}

async function structured(value) {
  const token = (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value));
  const jti = randomUUID();
  opaque.set(jti, value);
  const claims = users.get(token.accountId) ?? {};
  return sign({
    iss: ISSUER,
    sub: token.accountId ?? token.clientId,
    azp: token.clientId,
    aud: settings.audience,
    typ: 'Bearer',
    scope: token.scope,
    preferred_username: claims.preferred_username,
    jti,
    iat: token.iat,
    exp: token.exp,
  });
}

async function issue({ sub, client_id, scope, seconds }) {
  const client = await provider.Client.find(client_id);
  const grant = new provider.Grant({ accountId: sub, clientId: client_id });
  grant.addOIDCScope(scope);
  const common = { accountId: sub, client, grantId: await grant.save(), scope, gty: 'authorization_code' };
  const access = new provider.AccessToken({ ...common, expiresIn: seconds });
  const refresh = new provider.RefreshToken({ ...common, expiresIn: 86400 });
  return { access_token: await structured(await access.save()), refresh_token: await refresh.save() };
}

// RFC 8693, only access token → refresh token.
async function exchange(ctx) {
  const { params, client } = ctx.oidc;
  const found = params.subject_token && (await provider.AccessToken.find(params.subject_token));
  if (!found?.isValid) throw new errors.InvalidGrant('subject_token is not valid');
  const issued = await issue({
    sub: found.accountId,
    client_id: client.clientId,
    scope: params.scope ?? found.scope,
    seconds: settings.access_token_seconds,
  });
  const type = (name) => ({ issued_token_type: `urn:ietf:params:oauth:token-type:${name}` });
  const common = { expires_in: settings.access_token_seconds };
  switch (settings.exchange) {
    case 'refused': throw new errors.InvalidGrant('not for this client');
    case 'access': // another access token only
      ctx.body = { access_token: issued.access_token, ...type('access_token'), token_type: 'Bearer', ...common };
      break;
    case 'alone':
      ctx.body = { refresh_token: issued.refresh_token };
      break;
    case 'somebody': {
      const part = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');
      const other = `${part({ alg: 'none' })}.${part({ sub: 'somebody' })}.`;
      ctx.body = { ...issued, id_token: other, ...type('refresh_token'), token_type: 'Bearer' };
      break;
    }
    case 'odd':
      ctx.body = { ...issued, id_token: 'odd', ...type('refresh_token'), token_type: 'Bearer' };
      break;
    case 'both':
      ctx.body = { ...issued, ...type('refresh_token'), token_type: 'Bearer', ...common };
      break;
    default: // what was asked for comes in access_token (2.2.1)
      ctx.body = { access_token: issued.refresh_token, ...type('refresh_token'), token_type: 'N_A' };
  }
}

function build() {
  const built = new Provider(ISSUER, {
    adapter: (model) => new MemoryAdapter(model, kept),
    clients: [...clients.values()],
    jwks: { keys },
    cookies: { keys: ['tests'] },
    scopes: ['openid', 'offline_access', ...Object.keys(SCOPES)],
    claims: { openid: ['sub'], ...SCOPES },
    findAccount: (_ctx, sub) => (users.has(sub)
      ? { accountId: sub, claims: () => ({ ...users.get(sub), sub }) } : undefined),
    interactions: { url: (_ctx, { uid }) => `${PREFIX}/interaction/${uid}` },
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: () => false,
    rotateRefreshToken: () => settings.rotate_refresh,
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true, allowedPolicy: () => true },
      clientCredentials: { enabled: true },
      resourceIndicators: { enabled: false },
      userinfo: { enabled: true },
    },
    routes: {
      authorization: `${CONNECT}/auth`,
      token: `${CONNECT}/token`,
      userinfo: `${CONNECT}/userinfo`,
      introspection: `${CONNECT}/token/introspect`,
      revocation: `${CONNECT}/revoke`,
      jwks: `${CONNECT}/certs`,
      end_session: `${CONNECT}/logout`,
    },
    ttl: {
      AccessToken: () => settings.access_token_seconds,
      ClientCredentials: () => settings.access_token_seconds,
      IdToken: 3600,
      RefreshToken: 86400,
      Grant: 86400,
      Session: 86400,
      Interaction: 3600,
    },
    renderError: (ctx, out) => { ctx.body = JSON.stringify(out); },
  });
  built.registerGrantType(EXCHANGE, exchange, [
    'subject_token', 'subject_token_type', 'requested_token_type', 'scope', 'audience']);
  built.use(asKeycloak);
  // Revoking an access token leaves its session alone; without a grant the rest is worthless anyway.
  for (const model of [built.AccessToken, built.RefreshToken, built.AuthorizationCode]) {
    model.revokeByGrantId = async () => {};
  }
  return built;
}

async function asKeycloak(ctx, next) {
  const bearer = /^Bearer (.+)$/i.exec(ctx.req.headers.authorization ?? '');
  if (bearer) ctx.req.headers.authorization = `Bearer ${(await translated(bearer[1])) ?? 'forged'}`;
  const body = ctx.req.body;
  for (const name of ['token', 'subject_token']) {
    if (body?.[name]) body[name] = (await translated(body[name])) ?? 'forged';
  }
  await next();
  if (ctx.path === `${CONNECT}/token` && ctx.body?.access_token && ctx.status === 200
    && ctx.body.token_type === 'Bearer' && ctx.body.access_token.split('.').length !== 3) {
    ctx.body.access_token = await structured(ctx.body.access_token);
  }
  if (ctx.path === `${CONNECT}/token/introspect` && ctx.status === 200) {
    Object.assign(ctx.body, settings.introspection);
  }
}

const page = (title, form) => `<!doctype html><html lang="en"><meta charset="utf-8">
<title>${title}</title><h1>${title}</h1><form method="post">${form}</form>`;

async function interaction(req, res) {
  const details = await provider.interactionDetails(req, res);
  if (req.method === 'GET') {
    res.setHeader('content-type', 'text/html; charset=utf-8');
    res.end(details.prompt.name === 'login'
      ? page('Sign in', '<label>User <input name="login" autofocus></label><button>Sign in</button>')
      : page('Consent', '<button name="answer" value="yes">Allow</button>'
        + '<button name="answer" value="no">Deny</button>'));
    return undefined;
  }
  if (details.prompt.name === 'login') {
    if (!users.has(req.body.login)) return send(res, 401, { error: 'no such user' });
    return provider.interactionFinished(req, res, { login: { accountId: req.body.login } });
  }
  if (req.body.answer !== 'yes') {
    return provider.interactionFinished(req, res, {
      error: 'access_denied', error_description: 'The user did not consent' });
  }
  const grant = new provider.Grant({
    accountId: details.session.accountId, clientId: details.params.client_id });
  grant.addOIDCScope(details.params.scope);
  return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } },
    { mergeWithLastSubmission: true });
}

async function ticket(req, res) {
  const bearer = (req.headers.authorization ?? '').slice('Bearer '.length);
  const found = await provider.AccessToken.find((await translated(bearer)) ?? 'forged');
  if (!found?.isValid) return send(res, 401, { error: 'invalid_token' });
  const claims = tickets.get(req.body.audience);
  if (!claims) return send(res, 403, { error: 'access_denied', error_description: 'not_authorized' });
  const now = Math.floor(Date.now() / 1000);
  const access_token = await sign({
    iss: ISSUER, sub: found.accountId, aud: req.body.audience, azp: found.clientId, typ: 'Bearer',
    iat: now, exp: now + 300, jti: randomUUID(), claim_token: req.body.claim_token, ...claims });
  return send(res, 200, { access_token, token_type: 'Bearer', expires_in: 300 });
}

const controls = {
  'PUT clients': (clientList) => {
    for (const client of clientList) clients.set(client.client_id, client);
    provider = build();
  },
  'PUT users': (named) => {
    for (const [sub, claims] of Object.entries(named)) users.set(sub, claims);
  },
  'PUT settings': (some) => { settings = { ...settings, ...some }; },
  'PUT tickets': (named) => {
    for (const [audience, claims] of Object.entries(named)) tickets.set(audience, claims);
  },
  'PUT documents': (named) => {
    for (const [path, document] of Object.entries(named)) documents.set(path, document);
  },
  'PUT keys': (key) => {
    keys = [key];
    provider = build();
  },
  'POST tokens': issue,
  'POST signed': async (claims) => ({ token: await sign(claims) }),
  'GET requests': () => requests,
};

function send(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function bodyOf(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  if (!(req.headers['content-type'] ?? '').includes('urlencoded')) return text;
  return Object.fromEntries(new URLSearchParams(text));
}

async function serve(req, res) {
  const { pathname } = new URL(req.url, ISSUER);
  req.body = await bodyOf(req);
  if (pathname.startsWith('/control/')) {
    const control = controls[`${req.method} ${pathname.slice('/control/'.length)}`];
    if (!control) return send(res, 404, { error: 'no such control' });
    return send(res, 200, (await control(req.body ? JSON.parse(req.body) : undefined)) ?? {});
  }
  requests.push({ method: req.method, path: pathname, grant_type: req.body?.grant_type });
  if (settings.mode === 'gone') return req.socket.destroy();
  if (settings.mode === 'silent') return undefined;
  if (settings.mode === 'broken' || settings.silent_paths.includes(pathname)) {
    return send(res, 503, { error: 'temporarily_unavailable' });
  }
  const document = documents.get(pathname);
  if (document) {
    if (!req.headers.authorization) return send(res, 401, { error: 'invalid_token' });
    return res.writeHead(200, { 'content-type': document.type }).end(document.body);
  }
  if (pathname.startsWith(`${PREFIX}/interaction/`)) return interaction(req, res);
  if (pathname === `${PREFIX}${CONNECT}/token` && req.body.grant_type === UMA) return ticket(req, res);
  if (!pathname.startsWith(`${PREFIX}/`)) return send(res, 404, { error: 'not found' });
  req.originalUrl = req.url;
  req.url = req.url.slice(PREFIX.length);
  return provider.callback()(req, res);
}

clients.set('internal', {
  client_id: 'internal', client_secret: randomBytes(16).toString('hex'),
  redirect_uris: [], grant_types: ['client_credentials'], response_types: [] });
provider = build();
createServer((req, res) => serve(req, res).catch((error) => {
  console.error(error);
  if (!res.headersSent) send(res, 500, { error: String(error) });
})).listen(port, '127.0.0.1', () => console.log(`ready ${ISSUER}`));
