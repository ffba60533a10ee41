<?php
/* Puts, lists, activates and fetches a script by Net_Sieve. */
require 'Net/Sieve.php';

[$_, $port, $security, $mechanism, $login, $password, $name, $script, $fetched] = $argv;

function demand($answer)
{
    if ($answer instanceof PEAR_Error) {
        fwrite(STDERR, $answer->getMessage() . "\n");
        exit(1);
    }
    return $answer;
}

$options = ['ssl' => ['cafile' => getenv('SSL_CERT_FILE'), 'verify_peer' => true, 'peer_name' => 'localhost']];
$client = new Net_Sieve();
demand($client->connect(($security == 'tls' ? 'ssl://' : '') . 'localhost', $port, $options, $security == 'starttls'));
demand($client->login($login, $password, $mechanism));
demand($client->haveSpace($name, 1000));
demand($client->installScript($name, file_get_contents($script), true));
echo implode(' ', demand($client->listScripts())), "\n";
file_put_contents($fetched, demand($client->getScript($name)));
demand($client->disconnect());
