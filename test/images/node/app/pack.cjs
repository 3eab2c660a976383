const zlib = require('node:zlib');

exports.pack = (text) => zlib.gzipSync(text).toString('base64');
