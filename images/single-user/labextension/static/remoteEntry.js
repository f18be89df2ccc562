/* Buttons for sharing one's server and for one's access token, over the hub's service
 * hub.services.sharing. JupyterLab loads this file as a container of Module Federation: it brings
 * no library of its own, and takes JupyterLab's. */
(() => {
  "use strict";

  const NAME = "egi-sharing";
  let scope = null;

  /** A package that JupyterLab shares with its extensions. */
  async function shared(name) {
    const versions = Object.values(scope[name] ?? {});
    if (!versions.length) {
      throw new Error(`${NAME}: JupyterLab does not share ${name}`);
    }
    return (await versions[0].get())();
  }

  async function extension() {
    const [{ PageConfig }, { Dialog, ICommandPalette, showDialog, showErrorMessage }, { Widget }] =
      await Promise.all(["@jupyterlab/coreutils", "@jupyterlab/apputils", "@lumino/widgets"].map(shared));
    const plugin = {
      id: `${NAME}:plugin`,
      description: "Buttons for sharing this server and for the access token.",
      autoStart: true,
      optional: [ICommandPalette],
      activate: (app, palette) => {
        const owner = PageConfig.getOption("hubServerUser");
        if (!owner || owner !== PageConfig.getOption("hubUser")) {
          return; // a visitor of somebody else's server: nothing here is theirs
        }
        const hub = new Hub(PageConfig);
        const ui = new Ui(hub, { Dialog, Widget, showDialog, showErrorMessage });
        for (const [id, label, run] of [
          ["share", "Share this server…", () => ui.share()],
          ["unshare", "Stop sharing this server…", () => ui.unshare()],
          ["token", "Copy my access token", () => ui.token()],
        ]) {
          const command = `${NAME}:${id}`;
          app.commands.addCommand(command, { label, execute: () => ui.guarded(run) });
          palette?.addItem({ command, category: "EGI Notebooks" });
        }
        app.shell.add(ui.bar(app.commands), "top", { rank: 900 });
      },
    };
    return { __esModule: true, default: plugin };
  }

  /** The hub's service, asked with the token that JupyterHub gave this page. */
  class Hub {
    constructor(config) {
      const prefix = config.getOption("hubPrefix"); // /base/hub/
      const host = config.getOption("hubHost") || window.location.origin;
      const service = config.getOption("sharingService") || "token-acquirer";
      const base = prefix.replace(/hub\/?$/, "");
      this.origin = host;
      this.url = `${host}${base}services/${service}/`;
      this.token = config.getToken();
      const part = (name) => encodeURIComponent(config.getOption(name));
      this.server = `${part("hubServerUser")}/${part("hubServerName")}`;
    }

    async ask(path, method = "GET") {
      const answer = await fetch(this.url + path, {
        method,
        headers: { Authorization: `token ${this.token}`, "Content-Type": "application/json" },
        body: method === "POST" ? "{}" : undefined,
        cache: "no-store",
      });
      const text = await answer.text();
      if (!answer.ok) {
        let reason = `status ${answer.status}`;
        try {
          reason = JSON.parse(text).message || reason;
        } catch {
          // not JSON: the status must do
        }
        throw new Error(reason);
      }
      return text ? JSON.parse(text) : {};
    }

    /** A link that gives who opens it access to this server. */
    async invite() {
      const code = await this.ask(`share-codes/${this.server}`, "POST");
      return new URL(code.full_accept_url || code.accept_url, this.origin).href;
    }

    /** End all shares and invitations of this server. */
    async close() {
      await this.ask(`share-codes/${this.server}`, "DELETE");
      await this.ask(`shares/${this.server}`, "DELETE");
    }

    async accessToken() {
      return (await this.ask("token")).access_token;
    }
  }

  class Ui {
    constructor(hub, lab) {
      this.hub = hub;
      this.lab = lab;
    }

    async guarded(run) {
      try {
        await run();
      } catch (error) {
        await this.lab.showErrorMessage("That did not work", error.message);
      }
    }

    bar(commands) {
      const widget = new this.lab.Widget();
      widget.id = `${NAME}-bar`;
      widget.addClass("jp-Toolbar-item");
      for (const [id, text] of [["share", "Share"], ["token", "Token"]]) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "jp-mod-styled jp-mod-minimal";
        button.textContent = text;
        button.title = commands.label(`${NAME}:${id}`);
        button.addEventListener("click", () => commands.execute(`${NAME}:${id}`));
        widget.node.append(button);
      }
      return widget;
    }

    async share() {
      const { Dialog, showDialog } = this.lab;
      const sure = await showDialog({
        title: "Share this server?",
        body: "Whoever opens the link works in this server as you: they read, change and run everything in it.",
        buttons: [Dialog.cancelButton(), Dialog.okButton({ label: "Make a link" })],
      });
      if (sure.button.accept) {
        await this.copyable("The link", await this.hub.invite());
      }
    }

    async unshare() {
      const { Dialog, showDialog } = this.lab;
      const sure = await showDialog({
        title: "Stop sharing this server?",
        body: "Links stop working, and people who accepted one lose access.",
        buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: "Stop sharing" })],
      });
      if (sure.button.accept) {
        await this.hub.close();
      }
    }

    async token() {
      await this.copyable("Your access token", await this.hub.accessToken());
    }

    async copyable(title, text) {
      const { Dialog, Widget, showDialog } = this.lab;
      const body = new Widget();
      const field = document.createElement("input");
      field.type = "text";
      field.readOnly = true;
      field.value = text;
      field.setAttribute("aria-label", title);
      field.className = "jp-mod-styled";
      body.node.append(field);
      const chosen = await showDialog({
        title,
        body,
        buttons: [Dialog.cancelButton({ label: "Close" }), Dialog.okButton({ label: "Copy" })],
      });
      if (chosen.button.accept) {
        await navigator.clipboard.writeText(text);
      }
    }
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: (given) => {
      scope = given;
    },
    get: async (module) => {
      if (module !== "./extension") {
        throw new Error(`${NAME} has no module ${module}`);
      }
      const made = await extension();
      return () => made;
    },
  };
})();
