# Logs in by Mail::IMAPClient, as imapsync does, demands compression, appends a message and fetches it again.
use strict;
use warnings;
use Mail::IMAPClient;

my ($port, $security, $mechanism, $login, $password, $message, $fetched) = @ARGV;

sub slurp { open my $file, '<:raw', $_[0] or die $!; local $/; return scalar <$file>; }

my $tls = [SSL_ca_file => $ENV{SSL_CERT_FILE}];
my $client = Mail::IMAPClient->new(
    Server => 'localhost', Port => $port, Uid => 1, Peek => 1,
    User => $login, Password => $password, Authmechanism => $mechanism,
    $security eq 'tls' ? (Ssl => $tls) : (Starttls => $tls),
) or die $@;
$client->compress or die $client->LastError;
my $uid = $client->append_string('INBOX', slurp($message)) or die $client->LastError;
$client->select('INBOX') or die $client->LastError;
my $idle = $client->idle or die $client->LastError;
$client->done($idle) or die $client->LastError;
open my $file, '>:raw', $fetched or die $!;
print $file $client->message_string($uid);
close $file or die $!;
$client->logout;
