import "../clock.ts";
import "../../../../src/runtime/proxy_thread.ts";
