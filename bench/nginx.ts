/** The part that both nginx configurations, upstream and proxy, begin with; paths are relative to their folder. */
export const NGINX_COMMON =
  `daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log error.log;
events { worker_connections 8192; }`;
