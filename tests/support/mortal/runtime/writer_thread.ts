import "../../../../src/runtime/writer_thread.ts";
import { obey } from "../orders.ts";

obey();
