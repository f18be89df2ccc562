"""JupyterHub logins: one provider a file, on what they share.

`provider` asks an OpenID provider who somebody is, `session` keeps that true afterwards, `bearer`
takes tokens of programs; `handlers` are their pages.
"""

from hub.authenticator.d4science import D4ScienceAuthenticator
from hub.authenticator.egi import EGICheckinAuthenticator
from hub.authenticator.eosc import EOSCNodeAuthenticator

__all__ = ["D4ScienceAuthenticator", "EGICheckinAuthenticator", "EOSCNodeAuthenticator"]
