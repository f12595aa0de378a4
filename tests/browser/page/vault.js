// SPDX-License-Identifier: GPL-3.0-or-later
// A small but real client of the vault: keys by WebCrypto, the live channel by the official SignalR client. A page is one
// session; the tests call `vault`, and read what the page shows.
"use strict";

const ROUNDS = 600000;
const encoder = new TextEncoder();
const element = (id) => document.getElementById(id);
const toBase64 = (bytes) => btoa(Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join(""));
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function join(...parts) {
  return new Uint8Array(parts.flatMap((part) => [...new Uint8Array(part)]));
}

async function pbkdf2(secret, salt, iterations) {
  const key = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, key, 256));
}

async function hmac(secret, data) {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", key, data);
}

/** 32 bytes to encrypt with and 32 to sign with: HKDF-Expand, one block each. */
async function stretch(secret) {
  const blocks = ["enc", "mac"].map((use) => hmac(secret, join(encoder.encode(use), [1])));
  return join(...(await Promise.all(blocks)));
}

function aes(key, use) {
  return crypto.subtle.importKey("raw", key.slice(0, 32), "AES-CBC", false, [use]);
}

/** Type 2 of the vault's encrypted texts: AES-256-CBC, then HMAC-SHA256 over what came out. */
async function encrypt(plain, key) {
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const text = await crypto.subtle.encrypt({ name: "AES-CBC", iv }, await aes(key, "encrypt"), plain);
  return `2.${[iv, text, await hmac(key.slice(32), join(iv, text))].map(toBase64).join("|")}`;
}

async function decrypt(text, key) {
  const [iv, data, proof] = text.slice(2).split("|").map(fromBase64);
  if (toBase64(await hmac(key.slice(32), join(iv, data))) !== toBase64(proof)) throw new Error("wrong signature");
  return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, await aes(key, "decrypt"), data));
}

async function secrets(email, password) {
  const master = await pbkdf2(encoder.encode(password), encoder.encode(email), ROUNDS);
  return { key: await stretch(master), proof: toBase64(await pbkdf2(master, encoder.encode(password), 1)) };
}

/** Releases before 1.31.0 write their keys with a capital letter. */
const field = (answer, name) => answer[name] ?? answer[name[0].toUpperCase() + name.slice(1)];

class Vault {
  async request(method, path, body, type = "application/json") {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    const answer = await fetch(path, { method, body, headers: body ? { ...headers, "Content-Type": type } : headers });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  async register(email, password) {
    const { key, proof } = await secrets(email, password);
    const mine = crypto.getRandomValues(new Uint8Array(64));
    const kind = { name: "RSA-OAEP", hash: "SHA-1", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
    const pair = await crypto.subtle.generateKey(kind, true, ["encrypt", "decrypt"]);
    const account = {
      email,
      name: "Real clients",
      kdf: 0,
      kdfIterations: ROUNDS,
      masterPasswordHash: proof,
      key: await encrypt(mine, key),
      keys: {
        publicKey: toBase64(await crypto.subtle.exportKey("spki", pair.publicKey)),
        encryptedPrivateKey: await encrypt(await crypto.subtle.exportKey("pkcs8", pair.privateKey), mine),
      },
    };
    await this.request("POST", "/identity/accounts/register", JSON.stringify(account));
  }

  async login(session, email, password) {
    element("session").textContent = session;
    const { key, proof } = await secrets(email, password);
    const form = new URLSearchParams({
      grant_type: "password",
      username: email,
      password: proof,
      scope: "api offline_access",
      client_id: "web",
      deviceType: "9",
      deviceIdentifier: crypto.randomUUID(),
      deviceName: session,
    });
    const type = "application/x-www-form-urlencoded";
    const answer = await this.request("POST", "/identity/connect/token", form.toString(), type);
    this.token = answer.access_token;
    this.key = await decrypt(field(answer, "key"), key);
  }

  async item(name) {
    return JSON.stringify({ type: 1, name: await encrypt(encoder.encode(name), this.key), login: {} });
  }

  async create(name) {
    return field(await this.request("POST", "/api/ciphers", await this.item(name)), "id");
  }

  async rename(id, name) {
    await this.request("PUT", `/api/ciphers/${id}`, await this.item(name));
  }

  async show(id) {
    const item = await this.request("GET", `/api/ciphers/${id}`);
    const name = new TextDecoder().decode(await decrypt(field(item, "name"), this.key));
    if (!element(id)) {
      const row = element("items").insertRow();
      row.id = id;
      row.insertCell().textContent = id.slice(0, 8);
      row.insertCell();
    }
    element(id).cells[1].textContent = name;
  }

  state(name, text) {
    element("channel").className = name;
    element("channel").textContent = text;
  }

  async listen() {
    const options = {
      accessTokenFactory: () => this.token,
      skipNegotiation: true,
      transport: signalR.HttpTransportType.WebSockets,
    };
    const hub = new signalR.HubConnectionBuilder()
      .withUrl("/notifications/hub", options)
      .withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol())
      .configureLogging(signalR.LogLevel.Warning) // below that it writes addresses with the token
      .build();
    hub.on("ReceiveMessage", async (message) => {
      const frame = document.createElement("li");
      frame.textContent = `Type ${message.Type}`;
      element("frames").append(frame);
      if (message.Type === 0 || message.Type === 1) await this.show(message.Payload.Id);
    });
    hub.onclose(() => this.state("dead", "closed"));
    try {
      await hub.start();
      this.state("live", "live");
    } catch (error) {
      this.state("dead", `no live channel: ${error.message}`);
    }
  }
}

window.vault = new Vault();
