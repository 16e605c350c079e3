// A real OpenID Connect issuer for tests: node oidc_issuer.mjs FOLDER PORT CONSOLE. Its own pages ask for any name and
// password; the name decides the roles.
import { createRequire } from "node:module";

const [folder, port, home] = process.argv.slice(2);
const from = createRequire(`${folder}/`);
const { Provider } = await import(from.resolve("oidc-provider"));

const issuer = `http://127.0.0.1:${port}`;
const ROLES = { grace: ["operator"], ada: ["fleet-admins"] };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "kaiser-console",
      token_endpoint_auth_method: "none",
      redirect_uris: [home],
      post_logout_redirect_uris: [home],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub"], profile: ["name", "roles"] },
  cookies: { keys: ["only for tests"] },
  features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: id, roles: ROLES[id] ?? [] }) }),
  issueRefreshToken: async (_, client) => client.grantTypeAllowed("refresh_token"),
  pkce: { required: () => true },
  rotateRefreshToken: true,
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
