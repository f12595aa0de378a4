// SPDX-License-Identifier: GPL-3.0-or-later
// The Bitwarden CLI loads argon2's native binding at start, and npm builds none without install scripts. It is used for
// Argon2 accounts only, of which there are none here; any use of it fails loudly.
const Module = require("module");
const load = Module._load;
const stub = {
  hash() {
    throw new Error("argon2 is not built here");
  },
};
Module._load = (name, ...rest) => (name === "argon2" ? stub : load(name, ...rest));
