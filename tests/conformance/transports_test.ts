/** Both transports against one suite; what the fetch transport does not keep is listed with the reason. */
import { FetchPool } from "../../src/upstream/fetch_pool.ts";
import { Http1Pool } from "../../src/upstream/http1_pool.ts";
import { testTransport } from "./transport_suite.ts";

const POOL = { poolMaxIdlePerHost: 4, poolIdleTimeoutMs: 60_000 };

testTransport("http1", () => new Http1Pool(POOL));

testTransport("fetch", () => new FetchPool(POOL), {
  "dot segments and backslashes of the target are sent as they are": "fetch resolves them",
  "no field is added to those of the request":
    "fetch fills accept and the like in; the pool leaves them empty",
  "TRACE and lower-case methods are sent as they are":
    "fetch refuses TRACE and spells GET and POST in capitals: the pool refuses the latter",
  "an answer that refuses the body stops the upload": "fetch sends the body for as long as it comes",
  "an encoded body passes byte for byte": "fetch decodes gzip and br",
  "a body that could not be sent may be given to another target": "the pool locks it before it has connected",
  "answers that two readers could understand differently are bad_response":
    "fetch takes content-length with transfer-encoding, unknown transfer codings and bare LF",
});
