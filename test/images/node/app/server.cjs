// Serves a page; /zip loads a module that nothing else needs.
const http = require('node:http');
const { greeting } = require('./greeting.json');

http
  .createServer((request, response) => {
    if (request.url === '/zip') {
      const { pack } = require('./pack.cjs');
      response.end(pack(greeting));
    } else {
      response.end(`${greeting}\n`);
    }
  })
  .listen(3000, '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
