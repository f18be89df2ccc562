{{- /* What the parts must agree about. Each check gives its problems as JSON. Other charts' defaults
may be null where one expects a section or a name: so everything goes through `default`, and names
of their objects come from their own templates. */ -}}

{{- /* Sections that were set to null. A part that is null has its own project's defaults: for the hub,
a login for everybody. The parts of this project refuse what they need first: what follows reads it. */ -}}
{{- define "egi.sections" -}}
{{- $problems := list -}}
{{- range $part := list "jupyterhub" "prometheus" "notebooks-accounting" "notebooks-monitoring" "notebooks-backup" -}}
{{- if not (kindIs "bool" (get (get $.Values $part | default dict) "enabled")) -}}
{{- $problems = append $problems (printf "%s is null, or its `enabled` is neither true nor false: to leave it out, write '%s: {enabled: false}'" $part $part) -}}
{{- end -}}
{{- end -}}
{{- /* The charts of parts that are left out are not read. */ -}}
{{- $known := dict -}}
{{- range $path, $about := .Files.Get "files/needed.yaml" | fromYaml -}}
{{- if (get $.Values (splitList "." $path | first) | default dict).enabled }}{{ $_ := set $known $path $about }}{{ end -}}
{{- end -}}
{{- $nulls := dict "problems" $problems -}}
{{- include "notebooks.nulls" (dict "values" .Values "known" $known "state" $nulls) -}}
{{- with $nulls.problems -}}
{{- fail (printf "\n\nThe values of egi-notebooks cannot be installed:\n  %s\n" (join "\n  " .)) -}}
{{- end -}}
{{- range $part := list "notebooks-accounting" "notebooks-monitoring" "notebooks-backup" -}}
{{- with get $.Subcharts $part }}{{ include "notebooks.spelling" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Whether people reach the hub and may log in. */ -}}
{{- define "egi.hubChecks" -}}
{{- $problems := list -}}
{{- $hub := .Values.jupyterhub -}}
{{- if $hub.enabled -}}
{{- $ingress := default dict $hub.ingress -}}
{{- if and $ingress.enabled (not $ingress.hosts) -}}
{{- $problems = append $problems "jupyterhub.ingress.hosts is empty: the service's host name, for example 'hosts: [notebooks.example.org]'" -}}
{{- end -}}
{{- $route := default dict $hub.httpRoute -}}
{{- if and $route.enabled (not (and $route.hostnames $route.parentRefs)) -}}
{{- $problems = append $problems "jupyterhub.httpRoute needs hostnames and parentRefs: for example 'hostnames: [notebooks.example.org]' and 'parentRefs: [{name: public, namespace: gateways}]'" -}}
{{- end -}}
{{- if and $route.enabled $ingress.enabled -}}
{{- $problems = append $problems "the hub is reached by an Ingress and by a HTTPRoute: set jupyterhub.ingress.enabled to false, or leave jupyterhub.httpRoute out" -}}
{{- end -}}
{{- $checkin := include "egi.checkin" . | fromJson -}}
{{- if not (or $checkin.allowed_groups $checkin.allow_all $checkin.allowed_users $checkin.admin_groups) -}}
{{- $problems = append $problems "nobody may log in: set allowed_groups (or allow_all: true) below jupyterhub.hub.config.EGICheckinAuthenticator" -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* What the hub's login is configured with, JSON. */ -}}
{{- define "egi.checkin" -}}
{{- $config := (default dict .Values.jupyterhub.hub).config | default dict -}}
{{- get $config "EGICheckinAuthenticator" | default dict | toJson -}}
{{- end -}}

{{- /* CVMFS in users' servers, JSON: the values of jupyterhub.custom.cvmfs; empty where they are null. */ -}}
{{- define "egi.cvmfs" -}}
{{- $given := dict -}}
{{- if .Values.jupyterhub.enabled -}}
{{- $given = get (default dict .Values.jupyterhub.custom) "cvmfs" | default dict -}}
{{- end -}}
{{- toJson $given -}}
{{- end -}}

{{- /* The class that is made for its claim. Classes are the cluster's: the name has the namespace. */ -}}
{{- define "egi.cvmfsClass" -}}
{{- printf "cvmfs-%s-%s" .Release.Namespace .Release.Name -}}
{{- end -}}

{{- define "egi.cvmfsChecks" -}}
{{- $problems := list -}}
{{- $cvmfs := include "egi.cvmfs" . | fromJson -}}
{{- $known := list "enabled" "claim" "createClaim" "storageClass" "path" "repositories" "profiles" "vo_claims" -}}
{{- range $key, $_ := $cvmfs -}}
{{- if not (has $key $known) -}}
{{- $problems = append $problems (printf "jupyterhub.custom.cvmfs.%s is not a value: use %s" $key (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- if not (kindIs "bool" (default false $cvmfs.enabled)) -}}
{{- $problems = append $problems "jupyterhub.custom.cvmfs.enabled is neither true nor false" -}}
{{- end -}}
{{- if and $cvmfs.enabled (not $cvmfs.claim) -}}
{{- $problems = append $problems "jupyterhub.custom.cvmfs.claim is empty: the name of the claim, for example 'claim: cvmfs'" -}}
{{- end -}}
{{- range $key := list "repositories" "profiles" "vo_claims" -}}
{{- $listed := get $cvmfs $key -}}
{{- if and $listed (not (kindIs "slice" $listed)) -}}
{{- $problems = append $problems (printf "jupyterhub.custom.cvmfs.%s is not a list: for example '%s: [%s]'" $key $key (toString $listed)) -}}
{{- end -}}
{{- end -}}
{{- $slugs := list -}}
{{- range (default dict .Values.jupyterhub.singleuser).profileList -}}
{{- $slugs = append $slugs (default "" .slug) -}}
{{- end -}}
{{- if and (kindIs "slice" $cvmfs.profiles) (not (has "" $slugs)) -}}
{{- range $cvmfs.profiles -}}
{{- if not (has . $slugs) -}}
{{- $problems = append $problems (printf "jupyterhub.custom.cvmfs.profiles has %s, which is the slug of no profile: use %s" . (join ", " $slugs)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* Whether each part is asked where it is. */ -}}
{{- define "egi.partChecks" -}}
{{- $problems := list -}}
{{- $hub := .Values.jupyterhub -}}
{{- $services := dict -}}
{{- if $hub.enabled }}{{ $services = (default dict $hub.hub).services | default dict }}{{ end -}}
{{- range $service := list "accounting" "monitoring" -}}
{{- $part := printf "notebooks-%s" $service -}}
{{- $at := get $services $service | default dict -}}
{{- if and $hub.enabled $at.url (index $.Values $part "enabled") -}}
{{- $chart := index $.Subcharts $part -}}
{{- $url := printf "http://%s:%v" (include "notebooks.fullname" $chart) $chart.Values.service.port -}}
{{- if not (or (eq $at.url $url) (hasPrefix "https:" $at.url) (contains "." $at.url)) -}}
{{- $problems = append $problems (printf "the hub asks for %s at %s, and it is at %s: write jupyterhub.hub.services.%s.url: %s" $part $at.url $url $service $url) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $hub.enabled -}}
{{- $base := trimSuffix "/" (default "" $hub.hub.baseUrl) -}}
{{- $address := printf "http://%s:8081%s" (include "jupyterhub.hub.fullname" .Subcharts.jupyterhub | trim) $base -}}
{{- $monitoring := index .Values "notebooks-monitoring" -}}
{{- if and $monitoring.enabled (not (hasPrefix (printf "%s/hub" $address) $monitoring.apiUrl)) (not (contains "." $monitoring.apiUrl)) -}}
{{- $problems = append $problems (printf "notebooks-monitoring asks the hub at %s, and it is at %s: write notebooks-monitoring.apiUrl: %s/hub/api" $monitoring.apiUrl $address $address) -}}
{{- end -}}
{{- if and $monitoring.enabled (ne (trimSuffix "/" $monitoring.baseUrl) $base) -}}
{{- $problems = append $problems (printf "the hub's base path is %s/: write notebooks-monitoring.baseUrl: %s/" $base $base) -}}
{{- end -}}
{{- $accounting := index .Values "notebooks-accounting" -}}
{{- if and $accounting.enabled (default dict $accounting.hub).enabled -}}
{{- $chart := index .Subcharts "notebooks-accounting" -}}
{{- if and (not $accounting.hub.apiUrl) (ne $address "http://hub:8081") -}}
{{- $named := hasPrefix "http://hub:" $address | ternary "" ", and the name of its Secret as notebooks-accounting.hub.tokenSecret.name" -}}
{{- $problems = append $problems (printf "the hub is at %s: write notebooks-accounting.hub.apiUrl: %s/hub/api%s" $address $address $named) -}}
{{- end -}}
{{- $public := include "accounting.ofHub" (list $chart "publicUrl") -}}
{{- if and $base $public (ne (trimSuffix "/" (urlParse $public).path) (printf "%s/hub" $base)) -}}
{{- $problems = append $problems (printf "the hub's base path is %s/: write notebooks-accounting.hub.publicUrl: https://%s%s/hub" $base (urlParse $public).host $base) -}}
{{- end -}}
{{- if and $base (ne "own" (include "accounting.origin" $chart)) (not (hasPrefix $base (default "" $accounting.hub.prefix))) -}}
{{- $problems = append $problems (printf "the hub's base path is %s/: write notebooks-accounting.hub.prefix: %s/services/accounting/" $base $base) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $problems = include "egi.hostChecks" . | fromJsonArray | concat $problems -}}
{{- $problems = include "egi.prometheusChecks" . | fromJsonArray | concat $problems -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* The hub's host names. */ -}}
{{- define "egi.hubHosts" -}}
{{- $hub := .Values.jupyterhub -}}
{{- $ingress := default dict $hub.ingress -}}
{{- $route := default dict $hub.httpRoute -}}
{{- $hosts := list -}}
{{- if $ingress.enabled }}{{ $hosts = default list $ingress.hosts }}{{ end -}}
{{- if $route.enabled }}{{ $hosts = default list $route.hostnames | concat $hosts }}{{ end -}}
{{- toJson $hosts -}}
{{- end -}}

{{- /* Whether hub and accounting find each other where accounting has a host name of its own. */ -}}
{{- define "egi.hostChecks" -}}
{{- $problems := list -}}
{{- $accounting := index .Values "notebooks-accounting" -}}
{{- $own := default dict $accounting.hub -}}
{{- if and .Values.jupyterhub.enabled $accounting.enabled $own.enabled -}}
{{- $chart := index .Subcharts "notebooks-accounting" -}}
{{- $host := include "accounting.host" $chart -}}
{{- $origin := include "accounting.origin" $chart -}}
{{- $hosts := include "egi.hubHosts" . | fromJsonArray -}}
{{- if $host -}}
{{- if and $hosts (not (has (include "accounting.hubHost" $chart) $hosts)) -}}
{{- $problems = append $problems (printf "accounting sends people to the hub to log in: write notebooks-accounting.hub.publicUrl: https://%s/hub" (first $hosts)) -}}
{{- end -}}
{{- else if and (not $origin) $hosts -}}
{{- $problems = append $problems (printf "accounting must know the hub's address: write notebooks-accounting.hub.publicUrl: https://%s/hub. It is then at https://accounting.%s/, a name that must lead to the ingress, too (or another: host). To keep it on the hub's host name, where everybody sees only their own usage, write notebooks-accounting.hub.origin: shared and jupyterhub.hub.services.accounting.oauth_redirect_uri: ''" (first $hosts) (first $hosts)) -}}
{{- end -}}
{{- if $origin -}}
{{- $service := get ((default dict .Values.jupyterhub.hub).services | default dict) "accounting" | default dict -}}
{{- /* As jupyterhub.hub.extraConfig.accounting chooses it. */ -}}
{{- $known := empty $hosts | ternary "" (printf "https://accounting.%s/oauth_callback" (first (append $hosts ""))) -}}
{{- if hasKey $service "oauth_redirect_uri" }}{{ $known = default "" $service.oauth_redirect_uri }}{{ end -}}
{{- $needed := default (empty $host | ternary "" (printf "https://%s/oauth_callback" $host)) $own.callbackUrl -}}
{{- if ne $known $needed -}}
{{- $where := empty $host | ternary "accounting shares the hub's host name" (printf "accounting has the host name %s" $host) -}}
{{- $problems = append $problems (printf "%s, and the hub must know it: write jupyterhub.hub.services.accounting.oauth_redirect_uri: %s" $where (default "''" $needed)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- define "egi.prometheusChecks" -}}
{{- $problems := list -}}
{{- if .Values.prometheus.enabled -}}
{{- $mounted := list -}}
{{- range (default dict .Values.prometheus.server).extraVolumes -}}
{{- range (default dict .projected).sources }}{{ $mounted = append $mounted (default dict .secret).name }}{{ end -}}
{{- end -}}
{{- $fields := dict "notebooks-accounting" "api.metricsTokenSecret" "notebooks-monitoring" "probeTokenSecret" "notebooks-backup" "exporter.tokenSecret" -}}
{{- range $part, $field := $fields -}}
{{- $values := index $.Values $part -}}
{{- if and $values.enabled (default dict $values.exporter | dig "enabled" true) -}}
{{- $called := include "notebooks.fullname" (index $.Subcharts $part) -}}
{{- $at := $values -}}
{{- range splitList "." $field }}{{ $at = get (default dict $at) . }}{{ end -}}
{{- $name := default (printf "%s%s" $called (eq $part "notebooks-backup" | ternary "-metrics" "")) (default dict $at).name -}}
{{- if not (has $name $mounted) -}}
{{- $problems = append $problems (printf "%s.%s.name is %s, and Prometheus has another token: name it in prometheus.server.extraVolumes, below notebooks-tokens" $part $field $name) -}}
{{- end -}}
{{- $job := get (default dict $.Values.prometheus.scrapeConfigs) $part | default dict -}}
{{- if and $job (ne (toString $job.enabled) "false") (not (contains (printf "%q" $called) (toJson $job.relabel_configs))) -}}
{{- $problems = append $problems (printf "%s has the Service %s, and Prometheus looks for another: leave %s.fullnameOverride out, or write all of prometheus.scrapeConfigs.%s.relabel_configs, with regex: %s" $part $called $part $part $called) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $accounting := index .Values "notebooks-accounting" -}}
{{- /* A list of one's own, or a null, takes the chart's away: then all records are held back. */ -}}
{{- $metrics := .Values.prometheus.enabled | ternary (get .Values.prometheus "kube-state-metrics") dict | default dict -}}
{{- if and $accounting.enabled .Values.prometheus.enabled (ne (toString $metrics.enabled) "false") (not (regexMatch "hub\\.jupyter\\.org/username|pods=\\[\\*\\]" (toJson $metrics))) -}}
{{- $problems = append $problems "kube-state-metrics would not say whose a notebook is: write below prometheus.kube-state-metrics.metricAnnotationsAllowList: ['pods=[hub.jupyter.org/username,egi.eu/primary_group,egi.eu/flavor]', 'persistentvolumeclaims=[hub.jupyter.org/username,egi.eu/primary_group]'], and yours" -}}
{{- end -}}
{{- if $accounting.enabled -}}
{{- $chart := index .Subcharts "notebooks-accounting" -}}
{{- $url := default "" (default dict $accounting.prometheus).url -}}
{{- $ours := contains "{{" $url -}}
{{- if and $ours (not .Values.prometheus.enabled) -}}
{{- $problems = append $problems "prometheus.enabled is false: set notebooks-accounting.prometheus.url to the cluster's own Prometheus, for example 'url: http://prometheus.monitoring:9090'" -}}
{{- else if $ours -}}
{{- $server := .Values.prometheus.server -}}
{{- $port := (default dict $server.service).servicePort | default 80 | toString -}}
{{- $where := printf "http://%s%s%s" (include "prometheus.server.fullname" .Subcharts.prometheus) (eq $port "80" | ternary "" (printf ":%s" $port)) (default (urlParse (default "" $server.baseURL)).path $server.prefixURL | trimSuffix "/") -}}
{{- if ne (tpl $url $chart) $where -}}
{{- $problems = append $problems (printf "Prometheus has another address: write notebooks-accounting.prometheus.url: %s" $where) -}}
{{- end -}}
{{- if not (default dict $server.service).enabled -}}
{{- $problems = append $problems "prometheus.server.service.enabled is not true: accounting reaches Prometheus by that Service, or set notebooks-accounting.prometheus.url to another" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* Names that are the cluster's, not the namespace's, belong to one release. */ -}}
{{- define "egi.clusterChecks" -}}
{{- $problems := list -}}
{{- if .Values.prometheus.enabled -}}
{{- $name := include "prometheus.clusterRoleName" .Subcharts.prometheus -}}
{{- $there := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" $name -}}
{{- $of := (default dict (default dict $there).metadata).annotations | default dict -}}
{{- if and $there (ne (printf "%v/%v" (get $of "meta.helm.sh/release-namespace") (get $of "meta.helm.sh/release-name")) (printf "%s/%s" .Release.Namespace .Release.Name)) -}}
{{- $problems = append $problems (printf "the ClusterRole %s is of another release: choose another name than '%s' for this one (roles of the cluster bear the release's name), or set prometheus.enabled to false and use the Prometheus that is there" $name .Release.Name) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* `global.imageRegistry` is for all images or for none: charts that do not read it are told. */ -}}
{{- define "egi.imageChecks" -}}
{{- $state := dict "problems" list -}}
{{- $registry := get (default dict .Values.global) "imageRegistry" -}}
{{- if $registry -}}
{{- range $part := list "jupyterhub" "prometheus" -}}
{{- $values := get $.Values $part -}}
{{- if $values.enabled -}}
{{- include "egi.elsewhere" (dict "values" $values "path" $part "registry" $registry "state" $state) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $state.problems -}}
{{- list (printf "global.imageRegistry is %s, and these images would come from elsewhere, for their charts do not read it. Write:\n    %s" $registry (join "\n    " .)) | toJson -}}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{- define "egi.elsewhere" -}}
{{- $readers := list "prometheus.kube-state-metrics" "prometheus.prometheus-node-exporter" -}}
{{- $tls := and (hasPrefix "jupyterhub.proxy" .path) (not (default dict .values.https).enabled) -}}
{{- range $key, $value := .values -}}
{{- $path := printf "%s.%s" $.path $key -}}
{{- $skipped := or (has $path $readers) (and $tls (has $key (list "traefik" "secretSync"))) -}}
{{- if and (kindIs "map" $value) (not $skipped) (not (and (hasKey $value "enabled") (not $value.enabled))) -}}
{{- $field := hasKey $value "name" | ternary "name" "repository" -}}
{{- $name := get $value $field -}}
{{- if and (eq $key "image") (kindIs "string" $name) -}}
{{- if not (hasPrefix (printf "%s/" $.registry) $name) -}}
{{- $bare := regexReplaceAll "^[^/]*[.:][^/]*/" $name "" -}}
{{- $_ := set $.state "problems" (append $.state.problems (printf "%s.%s: %s/%s" $path $field $.registry $bare)) -}}
{{- end -}}
{{- else -}}
{{- include "egi.elsewhere" (merge (dict "values" $value "path" $path) (omit $ "values" "path")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
