import "../clock.ts";
import "../../../../src/runtime/writer_thread.ts";
