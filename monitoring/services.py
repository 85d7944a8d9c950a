"""The services that notices may go to, by the schemas of their Apprise URLs.

Those that talk over HTTP or SMTP alone: none that runs programs, writes to this machine's desktop
or log, or needs a library that opens connections of its own. A service that Apprise learns later
is taken in here by hand.
"""

# Their URLs name a host, the user's own; what else is in them may be a secret.
HOSTS = """
apprise apprises bark barks emby embys enigma2 enigma2s evolution evolutions flowtriq flowtriqs
form forms goalert goalerts gorush gorushs gotify gotifys hassio hassios humhub humhubs jellyfin
jellyfins json jsons kodi kodis mailto mailtos mastodon mastodons misskey misskeys mmost mmosts
ncloud nclouds nctalk nctalks onebot onebots opsimate opsimates parsep parseps pinglet pinglets
pjet pjets rocket rockets signal signals smseagle smseagles synology synologys toot toots xbmc
xbmcs xmatters xml xmls
"""
# Here what stands in the host's place may be a token or a topic: nothing of it is ever shown.
TOKENS = """
46elks acs atalk awswhatsapp azure bale betterstack bluesky brevo bsky bulksms bulkvs burstsms
chanify clickatell clicksend cliq cm d7sms dapnet dingtalk discord dot eight00com elks exotel
feishu firehydrant flock fluxer fluxers freemobile gchat github groundmail groupme guilded
gupshup httpsms ifttt ilert incidentio infobip instagram jira join kakao kakaotalk kaleyra
kavenegar klr kook kudosity kumulos lametric lametrics lark lauther lfg line mailersend mailgun
matrix matrixs mobilemessage mobilemsg msg91 msgbird nexmo notica noticas notifiarr notifico
notificos notifyapp notifyre ntfy ntfys o365 octopush onesignal opsgenie pagerduty pagertree
pbul pingram plivo postmark pover prowl psafer psafers push pushdeer pushdeers pushed pushme
pushplus pushward pushy qq reddit resend revolt ringc ryver schan sendgrid sendpulse serwersms
ses seven sfr signalgrid signl4 simplepush sinch slack smsc smsmanager smsmgr smstunnel smtp2go
sns sparkpost spike splunk spugpush spush squadcast stackfield strmlabs telesign telnyx tgram
threema trigv trigvs tweet twilio twist twitter viber victorops voipms vonage webex wechat wecom
wecombot whapi whatsapp workflow workflows wpush wxpusher wxteams x youlmk zalo zcliq zohocliq
zoom zulip
"""
WITH_HOST = frozenset(HOSTS.split())
KNOWN = WITH_HOST | frozenset(TOKENS.split())
