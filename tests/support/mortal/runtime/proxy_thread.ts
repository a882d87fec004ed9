import "../../../../src/runtime/proxy_thread.ts";
import { obey } from "../orders.ts";

obey();
